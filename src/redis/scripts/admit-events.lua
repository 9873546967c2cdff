-- Adds a batch of events to the ledgers and detects duplicates.
-- This script only reads the table of event ids: remember-events.lua adds them after the refreshes are queued.
--
-- KEYS[1]    table of event ids
-- KEYS[2]    ticket counter
-- KEYS[3]    hash: counter name -> number of events
-- KEYS[4]    users: sorted set: member -> ticket of its first event that is not reflected
-- KEYS[5]    users: hash: member -> note on its latest event
-- KEYS[6]    fan-outs: sorted set like KEYS[4]
-- KEYS[7]    fan-outs: hash like KEYS[5]
-- ARGV[1..]  per event: id, counter name, ledger ('users', 'fanouts' or ''), member, 'd' for a deletion or ''
-- Answer     per event: -1 for a duplicate, -2 if nothing was outstanding for its member, otherwise for how many
--            milliseconds something has been outstanding

-- @include "ticket"
-- @include "latest-event"
-- @include "seen-events"

local function isSeen(id)
  local offset, digest = placeOf(id)
  return holds(readBucket(KEYS[1], offset), digest)
end

local events = #ARGV / 5
local firstTicket, now = drawTicket(KEYS[2], events)
local answers, inBatch, counts = {}, {}, {}

for i = 1, events do
  local id, counter, ledger, member, mark = unpack(ARGV, i * 5 - 4, i * 5)
  answers[i] = -2
  if inBatch[id] or isSeen(id) then
    answers[i] = -1
    counter = 'duplicate'
  elseif ledger ~= '' then
    local sinceKey, latestKey = KEYS[4], KEYS[5]
    if ledger == 'fanouts' then sinceKey, latestKey = KEYS[6], KEYS[7] end
    local ticket = firstTicket + i - 1
    local earlier, reflected = 0, 0
    if redis.call('ZADD', sinceKey, 'NX', ticket, member) == 0 then
      answers[i] = math.max(0, math.floor((now - tonumber(redis.call('ZSCORE', sinceKey, member))) / 1000))
      local latestMark, _
      latestMark, _, earlier, reflected = readLatest(redis.call('HGET', latestKey, member))
      if latestMark == 'd' then mark = 'd' end
    end
    redis.call('HSET', latestKey, member, writeLatest(mark, ticket, earlier + 1, reflected))
  end
  inBatch[id] = true
  counts[counter] = (counts[counter] or 0) + 1
end

for counter, times in pairs(counts) do redis.call('HINCRBY', KEYS[3], counter, times) end
return answers
