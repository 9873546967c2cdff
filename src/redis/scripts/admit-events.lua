-- Adds a batch of events to the ledgers and detects duplicates.
-- This script only reads the table of event ids: remember-events.lua adds them after the refreshes are queued.
--
-- KEYS[1]    table of event ids
-- KEYS[2]    ticket counter
-- KEYS[3]    run id of the Redis process that drew the last ticket
-- KEYS[4]    hash: counter name -> number of events
-- KEYS[5]    users: sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[6]    users: hash: member -> note on its latest event
-- KEYS[7]    users: hash: member -> when its events were acknowledged
-- KEYS[8]    users: hash: member -> what its outstanding work concerns
-- KEYS[9]    fan-outs: sorted set like KEYS[5]
-- KEYS[10]   fan-outs: hash like KEYS[6]
-- ARGV[1..]  per member of an event: the event's id, or '' for a further member of the same event; counter name; ledger
--            ('users', 'fanouts' or ''); member; 'd' for a deletion, otherwise what the event concerns, '' for everything
-- Answer     per member of an event: -1 for a duplicate, -2 if nothing was outstanding for the member, otherwise for how
--            many milliseconds something has been outstanding

-- @include "ticket"
-- @include "latest-event"
-- @include "seen-events"
-- @include "event-times"
-- @include "concerns"

local function isSeen(id)
  local offset, digest = placeOf(id)
  return holds(readBucket(KEYS[1], offset), digest)
end

local rows = #ARGV / 5
local firstTicket, now = drawTicket(KEYS[2], KEYS[3], rows)
local answers, inBatch, counts = {}, {}, {}

-- Adds the event to the ledger. Answers for how many milliseconds something has been outstanding, or -2.
local function acknowledge(sinceKey, latestKey, timesKey, concernsKey, member, mark, ticket)
  local since = redis.call('ZSCORE', sinceKey, member)
  local latestMark, _, earlier, reflected = readLatest(redis.call('HGET', latestKey, member))
  if concernsKey then
    local concern = mark ~= '' and mark ~= 'd' and mark or nil
    if since then concern = join(concern, readConcern(concernsKey, member, earlier)) end
    writeConcern(concernsKey, member, concern, earlier + 1)
  end
  mark = (mark == 'd' or latestMark == 'd') and 'd' or ''
  redis.call('HSET', latestKey, member, writeLatest(mark, ticket, earlier + 1, reflected))
  -- A failure or an intent can have added the member: the time is that of the first event.
  if since and earlier > 0 then
    if timesKey then noteTime(timesKey, member, earlier - reflected, since, now) end
    return math.max(0, math.floor((now - since) / 1000))
  end
  redis.call('ZADD', sinceKey, string.format('%.0f', now), member)
  return -2
end

local duplicate = false
for row = 1, rows do
  local id, counter, ledger, member, mark = unpack(ARGV, row * 5 - 4, row * 5)
  local ticket = firstTicket + row - 1
  if id ~= '' then
    duplicate = inBatch[id] or isSeen(id)
    inBatch[id] = true
    if duplicate then counter = 'duplicate' end
    counts[counter] = (counts[counter] or 0) + 1
  end
  answers[row] = duplicate and -1 or -2
  if not duplicate and ledger == 'users' then
    answers[row] = acknowledge(KEYS[5], KEYS[6], KEYS[7], KEYS[8], member, mark, ticket)
  elseif not duplicate and ledger == 'fanouts' then
    answers[row] = acknowledge(KEYS[9], KEYS[10], nil, nil, member, '', ticket)
  end
end

for counter, times in pairs(counts) do redis.call('HINCRBY', KEYS[4], counter, times) end
return answers
