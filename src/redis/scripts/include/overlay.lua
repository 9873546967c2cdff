-- Property values recently written for a member. Each property expires for itself.
-- The values are one JSON text, whose lifetime every write renews. When each of them expires is noted beside it: releases
-- before 0.2 know only the text, so a property without a note expires with the text.

-- @include "clock"

-- Reads the values that still count, and forgets the others. Returns them, and when the last of them expires, or nil
-- without any. Times are in milliseconds.
-- A property cannot expire later than `maxMs` from now, unless Redis' clock stepped back: its time then starts again.
local function readWritten(valuesKey, expiriesKey, maxMs)
  local text = redis.call('GET', valuesKey)
  if not text then return {}, nil end
  local now = math.floor(nowMicros() / 1000)
  local written, last = cjson.decode(text), 0
  local expiries = redis.call('HGETALL', expiriesKey)
  for i = 1, #expiries, 2 do
    local property, expiry = expiries[i], tonumber(expiries[i + 1])
    if expiry > now + maxMs then
      expiry = now + maxMs
      redis.call('HSET', expiriesKey, property, string.format('%.0f', expiry))
    end
    if expiry <= now then written[property] = nil else last = math.max(last, expiry) end
  end
  if next(written) == nil then return written, nil end
  return written, last > 0 and last or now + maxMs
end
