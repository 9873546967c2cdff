-- Notes a change of a user's flags in the stream of changes, in the script that makes it: no crash comes in between.
-- Needs "decode-json".

-- Compares decoded JSON values member by member: `cjson.encode` writes equal objects in any order.
local function sameValue(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
  for key, value in pairs(a) do
    if not sameValue(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- Adds an entry if flags or status differ. `kept` is how many entries the stream keeps, '0' to write none. `previous` is
-- the decoded record before and `previousText` its JSON; nil for the first record.
local function noteChange(streamKey, kept, userId, recordText, previous, previousText)
  if kept == '0' then return end
  local record = decodeRecord(recordText)
  local changed = not (previous and record)
  for _, member in ipairs({ 'flags', 'organizations', 'status' }) do
    changed = changed or not sameValue(previous[member], record[member])
  end
  if not changed then return end
  redis.call('XADD', streamKey, 'MAXLEN', '~', kept, '*',
    'user', userId, 'record', recordText, 'previous', previous and previousText or '')
end
