-- When the outstanding events of a member were acknowledged, in their order: eight bytes each, microseconds since the
-- epoch. A single event has no entry here: its time is in the ledger. Of very many, the first are kept.

local bytesPerTime, timesKept = 8, 1000

-- Notes the time of an event that joins `outstanding` others, the first of them acknowledged at `since`.
local function noteTime(timesKey, member, outstanding, since, time)
  local times = redis.call('HGET', timesKey, member) or ''
  if outstanding == 0 then
    times = ''
  elseif outstanding == 1 and #times ~= bytesPerTime then
    times = struct.pack('>d', since)
  end
  -- Releases before 0.2 note none. With a gap, the later ones would be those of other events.
  if #times ~= outstanding * bytesPerTime or outstanding >= timesKept then return end
  redis.call('HSET', timesKey, member, times .. struct.pack('>d', time))
end

-- Removes the times of the first `count` events and returns them.
local function takeTimes(timesKey, member, count)
  local times = redis.call('HGET', timesKey, member)
  if not times then return {} end
  local taken = {}
  for at = 1, math.min(count * bytesPerTime, #times), bytesPerTime do
    taken[#taken + 1] = struct.unpack('>d', times, at)
  end
  local rest = string.sub(times, count * bytesPerTime + 1)
  if rest == '' then
    redis.call('HDEL', timesKey, member)
  else
    redis.call('HSET', timesKey, member, rest)
  end
  return taken
end
