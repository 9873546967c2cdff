-- Remembers event ids, so that a redelivery is recognized as a duplicate. The oldest id of a full bucket is forgotten.
--
-- KEYS[1]    table of event ids
-- ARGV[1..]  event ids
-- Answer     none

-- @include "seen-events"

for _, id in ipairs(ARGV) do
  local offset, digest = placeOf(id)
  local bucket = readBucket(KEYS[1], offset)
  if not holds(bucket, digest) then
    redis.call('SETRANGE', KEYS[1], offset, string.sub(digest .. bucket, 1, bucketBytes))
  end
end
