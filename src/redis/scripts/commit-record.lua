-- Writes a user's record or tombstone, unless the stored record has a later ticket.
-- A stored record that cannot be decoded, or is no string, has no ticket and is overwritten: that repairs it.
-- Parts can be kept from the stored record instead of fetched: the commit then names the ticket it built on, and is refused
-- if another one came between. The record notes the ticket that the kept parts come from. A refresh that fetched everything
-- and is overtaken by one that kept older parts is refused too: its newer parts would be lost.
-- A ticket that the counter has not reached comes from a Redis whose last writes are lost: it says nothing about the order.
--
-- All keys but the last are in the user's slot, so that records can be spread over a cluster.
--
-- KEYS[1]  flags record
-- KEYS[2]  profile
-- KEYS[3]  stream that notes changes: that of all users, or the user's outbox if that one is on another primary
-- KEYS[4]  ticket counter; omitted if it is on another primary: the caller has compared the ticket with it
-- ARGV[1]  ticket of the new record
-- ARGV[2]  flags record (JSON)
-- ARGV[3]  profile (JSON), or '' for a tombstone
-- ARGV[4]  lifetime of a tombstone in milliseconds
-- ARGV[5]  channel that announces the commit
-- ARGV[6]  'missing' to keep any stored record, whatever its ticket; otherwise ''
-- ARGV[7]  how many changes the stream keeps, or '0' to write none
-- ARGV[8]  user id, for the stream
-- ARGV[9]  ticket of the record that parts are kept from, or '' if all are fetched
-- Answer   1 if the record was written, 0 if there is a record already, -1 if the ticket is lost, -2 if the record that parts
--          were kept from is no longer there, otherwise the later ticket of the stored record: negative if that one kept
--          parts that are older than this one's

-- @include "decode-json"
-- @include "note-change"
-- @include "read-record"

-- No counter gets there: only a record that is not Kindling's has such a ticket.
local highest = 2 ^ 52

local counter = KEYS[4] and redis.call('GET', KEYS[4])
if counter and tonumber(ARGV[1]) > tonumber(counter) then return -1 end

local current = readRecord(KEYS[1])
local previous
local ticket, basis = tonumber(ARGV[1]), tonumber(ARGV[9])
if current then
  local record = decodeRecord(current)
  if record and type(record.ticket) == 'number' and record.ticket < highest then
    if ARGV[6] == 'missing' then return 0 end
    if record.ticket > ticket then
      local older = type(record.keptTicket) == 'number' and record.keptTicket < ticket
      return (older and ARGV[3] ~= '' and not basis) and -record.ticket or record.ticket
    end
    previous = record
  end
end
if basis and not (previous and previous.ticket == basis) then return -2 end

noteChange(KEYS[3], ARGV[7], ARGV[8], ARGV[2], previous, current)
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[1], ARGV[2])
  redis.call('SET', KEYS[2], ARGV[3])
end
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1
