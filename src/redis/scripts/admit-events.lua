-- Adds a batch of events to the ledgers and detects duplicates.
-- Event ids are remembered in two sets that alternate, so that a whole set expires at once. This script only reads them:
-- remember-events.lua adds the ids after the refreshes are queued.
--
-- KEYS[1]    set of event ids of the current period
-- KEYS[2]    set of event ids of the previous period
-- KEYS[3]    ticket counter
-- KEYS[4]    hash: counter name -> number of events
-- KEYS[5]    users: sorted set: member -> ticket of its first event that is not reflected
-- KEYS[6]    users: hash: member -> note on its latest event
-- KEYS[7]    fan-outs: sorted set like KEYS[5]
-- KEYS[8]    fan-outs: hash like KEYS[6]
-- ARGV[1..]  per event: id, counter name, ledger ('users', 'fanouts' or ''), member, 'd' for a deletion or ''
-- Answer     per event: -1 for a duplicate, -2 if nothing was outstanding for its member, otherwise for how many
--            milliseconds something has been outstanding

-- @include "ticket"
-- @include "latest-event"

local events = #ARGV / 5
local firstTicket, now = drawTicket(KEYS[3], events)
local ids, answers, inBatch, counts = {}, {}, {}, {}
for i = 1, events do ids[i] = ARGV[i * 5 - 4] end
local current = redis.call('SMISMEMBER', KEYS[1], unpack(ids))
local previous = redis.call('SMISMEMBER', KEYS[2], unpack(ids))

for i = 1, events do
  local id, counter, ledger, member, mark = unpack(ARGV, i * 5 - 4, i * 5)
  answers[i] = -2
  if inBatch[id] or current[i] == 1 or previous[i] == 1 then
    answers[i] = -1
    counter = 'duplicate'
  elseif ledger ~= '' then
    local sinceKey, latestKey = KEYS[5], KEYS[6]
    if ledger == 'fanouts' then sinceKey, latestKey = KEYS[7], KEYS[8] end
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

for counter, times in pairs(counts) do redis.call('HINCRBY', KEYS[4], counter, times) end
return answers
