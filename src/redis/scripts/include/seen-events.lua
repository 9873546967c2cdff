-- Remembers event ids in one string of fixed size, 4 MiB: 65,536 buckets of the last eight ids each, as digests of eight
-- bytes. With the bucket, 80 bits tell two ids apart: taking one for the other would lose an event.

local idsPerBucket, digestBytes = 8, 8
local bucketBytes = idsPerBucket * digestBytes

-- Returns the place of an id: the offset of its bucket, and its digest.
local function placeOf(id)
  local hex = redis.sha1hex(id)
  local digest = string.gsub(string.sub(hex, 5, 4 + 2 * digestBytes), '%x%x', function(byte)
    return string.char(tonumber(byte, 16))
  end)
  return tonumber(string.sub(hex, 1, 4), 16) * bucketBytes, digest
end

local function readBucket(seenKey, offset)
  return redis.call('GETRANGE', seenKey, offset, offset + bucketBytes - 1)
end

-- Returns whether the bucket holds the digest.
local function holds(bucket, digest)
  for start = 1, #bucket, digestBytes do
    if string.sub(bucket, start, start + digestBytes - 1) == digest then return true end
  end
  return false
end
