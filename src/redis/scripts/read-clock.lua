-- Reads the clock of the Redis that has a key: the masters of a cluster each have their own.
--
-- KEYS[1]  any key of the slot concerned; not read
-- Answer   microseconds since the epoch

-- @include "clock"

return string.format('%.0f', KEYS[1] and nowMicros())
