-- Decodes JSON as JavaScript writes it, with half of a surrogate pair as an escape: a flag can cut a name off within an
-- emoji. cjson refuses those, and a record that cannot be decoded has no ticket to protect it.
local function decodeJson(text)
  return cjson.decode((string.gsub(text, '\\u[dD][89a-fA-F]%x%x', '\\ufffd')))
end
