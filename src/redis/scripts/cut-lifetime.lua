-- Cuts the lifetime of a key to what it can be at most.
--
-- KEYS[1]  key
-- ARGV[1]  longest lifetime in milliseconds
-- Answer   none

-- @include "lifetime"

cutLifetime(KEYS[1], ARGV[1])
