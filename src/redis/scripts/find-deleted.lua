-- Finds the members whose deletion was acknowledged, whether it is outstanding or recently settled.
--
-- KEYS[1]    hash: member -> note on its latest event
-- KEYS[2..]  per member: marker of a recently settled deletion
-- ARGV[1..]  members
-- Answer     the members with a deletion

local deleted = {}
for i, note in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV))) do
  if (note and string.sub(note, 1, 1) == 'd') or redis.call('EXISTS', KEYS[i + 1]) == 1 then
    deleted[#deleted + 1] = ARGV[i]
  end
end
return deleted
