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
