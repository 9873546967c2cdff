-- Finds the users that a sweep's Bloom filter does not contain.
--
-- KEYS[1]    filter (bitmap)
-- ARGV[1]    number of bits per user
-- ARGV[2..]  per user: the offsets of its bits
-- Answer     zero-based indexes of the users that are not in the filter

local bitsPerUser = tonumber(ARGV[1])
local unseen = {}
for user = 0, (#ARGV - 1) / bitsPerUser - 1 do
  for bit = 1, bitsPerUser do
    if redis.call('GETBIT', KEYS[1], ARGV[1 + user * bitsPerUser + bit]) == 0 then
      unseen[#unseen + 1] = user
      break
    end
  end
end
return unseen
