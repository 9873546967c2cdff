-- Draws one ticket.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  run id of the Redis process that drew the last ticket
-- Answer   the ticket

-- @include "ticket"

return (drawTicket(KEYS[1], KEYS[2]))
