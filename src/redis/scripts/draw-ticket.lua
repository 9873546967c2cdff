-- Draws one ticket.
--
-- KEYS[1]  ticket counter
-- Answer   the ticket

-- @include "ticket"

return (drawTicket(KEYS[1]))
