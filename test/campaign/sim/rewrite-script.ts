/** Keys of the simulation itself, beside those of the deployment. */
export const own = {
  clock: "{simulated}:clock",
  run: "{simulated}:run",
  notes: "{simulated}:notes",
  ttl: "{simulated}:ttl",
};

/** Far enough ahead that the real Redis never expires a key by itself. Milliseconds. */
const never = 1_000_000_000_000;

/**
 * Lua that stands between a script and Redis: the clock, the run id and the lifetimes of keys are simulated, and
 * announcements and wake-ups are noted. Lifetimes are stored as absolute times, moved far into the future.
 */
const prelude = `
local realCall = redis.call
local clockKey, runKey, notesKey, ttlKey = '${own.clock}', '${own.run}', '${own.notes}', '${own.ttl}'
local never = ${never}
local function nowMs() return tonumber(realCall('GET', clockKey)) / 1000 end
local function noteTtl(key, at) realCall('ZADD', ttlKey, string.format('%.0f', at), key) end
local function expireIn(key, ms, ...)
  local at = math.floor(nowMs() + tonumber(ms))
  local set = realCall('PEXPIREAT', key, string.format('%.0f', at + never), ...)
  if set == 1 then noteTtl(key, at) end
  return set
end
local simulated = {
  TIME = function()
    local micros = realCall('GET', clockKey)
    return { string.sub(micros, 1, -7), string.format('%d', tonumber(string.sub(micros, -6))) }
  end,
  INFO = function() return 'redis_version:7.2.5\\r\\nrun_id:' .. realCall('GET', runKey) .. '\\r\\n' end,
  PTTL = function(key)
    local at = realCall('PEXPIRETIME', key)
    if at < 0 then return at end
    return math.max(1, math.floor(at - never - nowMs()))
  end,
  PEXPIRE = expireIn,
  EXPIRE = function(key, seconds, ...) return expireIn(key, seconds * 1000, ...) end,
  PUBLISH = function(channel, message) realCall('RPUSH', notesKey, 'message', channel, message) return 0 end,
  ZADD = function(key, ...)
    if string.find(key, ':marker', 1, true) or string.find(key, 'refresh-requests', 1, true) then
      realCall('RPUSH', notesKey, 'woken', key, '')
    end
    return realCall('ZADD', key, ...)
  end,
  -- The order of a set's members depends on a random hash function.
  SMEMBERS = function(key)
    local members = realCall('SMEMBERS', key)
    table.sort(members)
    return members
  end,
  XADD = function(key, ...)
    local options, id = {...}, nil
    for i = 1, #options do
      if options[i] == '*' then id = i break end
    end
    if not id then return realCall('XADD', key, ...) end
    options[id] = string.format('%.0f-*', math.floor(nowMs()))
    local added = redis.pcall('XADD', key, unpack(options))
    if type(added) ~= 'table' then return added end
    -- After a step back, Redis continues from the last id.
    if string.find(added.err, 'equal or smaller', 1, true) then
      local info = realCall('XINFO', 'STREAM', key)
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then options[id] = string.match(info[i + 1], '^%d+') .. '-*' end
      end
    end
    return realCall('XADD', key, unpack(options))
  end,
  SET = function(key, value, ...)
    local options, at = {...}, nil
    for i = 1, #options do
      local name = string.upper(tostring(options[i]))
      if name == 'PX' or name == 'EX' then
        local ms = tonumber(options[i + 1]) * (name == 'EX' and 1000 or 1)
        at = math.floor(nowMs() + ms)
        options[i], options[i + 1] = 'PXAT', string.format('%.0f', at + never)
      end
    end
    local set = realCall('SET', key, value, unpack(options))
    if at and set then noteTtl(key, at) end
    return set
  end,
}
simulated.TTL = function(key)
  local ms = simulated.PTTL(key)
  return ms < 0 and ms or math.ceil(ms / 1000)
end
local redis = setmetatable({ call = function(name, ...)
  local handler = simulated[string.upper(name)]
  if handler then return handler(...) end
  return realCall(name, ...)
end }, { __index = redis })
`;

/** Commands whose meaning depends on what is simulated. */
export const simulatedCommands: ReadonlySet<string> = new Set([
  "TIME",
  "PTTL",
  "TTL",
  "PEXPIRE",
  "EXPIRE",
  "PUBLISH",
  "ZADD",
  "XADD",
  "SMEMBERS",
]);

/** Rewrites a script so that it sees the simulated Redis. */
export function rewriteScript(source: string): string {
  return prelude + source;
}

/** Runs one command as a rewritten script would. */
export const runCommand = `${prelude}
local answer = redis.call(unpack(ARGV))
return answer
`;

/** Deletes the keys whose lifetime is over. Answers the next end of a lifetime in milliseconds, or 0. */
export const expireKeys = `
local now, never = tonumber(ARGV[1]), ${never}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', '${own.ttl}', '-inf', now)) do
  local at = redis.call('PEXPIRETIME', key)
  if at > 0 and at - never <= now then redis.call('DEL', key) end
  redis.call('ZREM', '${own.ttl}', key)
end
local next = redis.call('ZRANGE', '${own.ttl}', 0, 0, 'WITHSCORES')
return next[2] or '0'
`;

/** Takes what the scripts noted. Answers { next end of a lifetime or '0', kind, key, message, … }. */
export const takeNotes = `
local notes = redis.call('LRANGE', '${own.notes}', 0, -1)
redis.call('DEL', '${own.notes}')
local next = redis.call('ZRANGE', '${own.ttl}', 0, 0, 'WITHSCORES')
table.insert(notes, 1, next[2] or '0')
return notes
`;

/** Copies the deployment's keys to the database ARGV[1], as a replica would have them. */
export const copyKeys = `
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[1], 'REPLACE') end
return 1
`;

/** Takes the first member of the first of KEYS that has one, as BZPOPMIN does. */
export const popFirst = `
for _, key in ipairs(KEYS) do
  local popped = redis.call('ZPOPMIN', key)
  if #popped > 0 then return { key, popped[1], popped[2] } end
end
return false
`;
