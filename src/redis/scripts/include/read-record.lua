-- Reads a flags record, which others can overwrite: Redis 6.2 lets app servers create other types under such a key.

-- Returns the text, or nil if there is none.
local function readRecord(key)
  local text = redis.pcall('GET', key)
  return type(text) == 'string' and text or nil
end
