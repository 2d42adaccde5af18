-- Ends what a process does about a server that had forgotten something.
--
-- KEYS[1]  the process's; KEYS[2] how often such a thing was found
-- KEYS[3]  there while others may have something to write back
-- ARGV[1]  how many asks of the process are known now; ARGV[2] what it knew of KEYS[2]
-- ARGV[3]  for how many milliseconds the others are waited for; 0: it was found by them
redis.call('SET', KEYS[1], ARGV[1], 'PX', 86400000)
local found = tonumber(redis.call('GET', KEYS[2]) or 0)
if ARGV[3] ~= '0' then
	redis.call('SET', KEYS[3], 1, 'PX', ARGV[3])
	if found == tonumber(ARGV[2]) then
		found = redis.call('INCR', KEYS[2])
	end
end
return {found}
