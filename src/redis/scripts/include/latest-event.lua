-- Reads and writes the note on a member's latest event: `[d]<ticket>[:<events>:<reflected>]`.
-- `d` marks an acknowledged deletion. `events` counts the events since the member entered the ledger, `reflected` those
-- that a commit reflects by now. The counts are omitted for a single event that is not reflected yet: the usual case.

-- Returns mark, ticket, events and reflected.
local function readLatest(note)
  if not note then return '', 0, 0, 0 end
  local mark, ticket, events, reflected = string.match(note, '^(d?)(%d+):?(%d*):?(%d*)$')
  return mark, tonumber(ticket), tonumber(events) or 1, tonumber(reflected) or 0
end

-- Returns the note.
local function writeLatest(mark, ticket, events, reflected)
  local note = mark .. string.format('%.0f', ticket)
  if events == 1 and reflected == 0 then return note end
  return note .. string.format(':%d:%d', events, reflected)
end
