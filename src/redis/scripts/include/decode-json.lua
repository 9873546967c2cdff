-- Decodes JSON as JavaScript writes it, with half of a surrogate pair as an escape: a flag can cut a name off within an
-- emoji. cjson refuses those, and a record that cannot be decoded has no ticket to protect it.
local function decodeJson(text)
  return cjson.decode((string.gsub(text, '\\u[dD][89a-fA-F]%x%x', '\\ufffd')))
end

-- Decodes a flags record; returns nil if it cannot. cjson refuses what nests deeper than 1,000 levels, as a record of an
-- earlier release can: of that, what orders commits is read from the text, in which it comes after the flags.
local function decodeRecord(text)
  local decoded, record = pcall(decodeJson, text)
  if decoded then return type(record) == 'table' and record or nil end
  if not string.find(tostring(record), 'too many nested', 1, true) then return nil end
  return {
    ticket = tonumber(string.match(text, '.*"ticket":(%d+)')),
    keptTicket = tonumber(string.match(text, '.*"keptTicket":(%d+)')),
  }
end
