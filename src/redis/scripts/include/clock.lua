-- Redis' clock is the one clock that all processes share.

-- Returns microseconds since the epoch.
local function nowMicros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
