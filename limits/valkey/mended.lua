-- Ends what a process does about a server that had forgotten something.
--
-- KEYS[1]  the process's; KEYS[2] how often such a thing was found
-- ARGV[1]  how many asks of the process are known now; ARGV[2] 1 where it found it
redis.call('SET', KEYS[1], ARGV[1], 'PX', 86400000)
if ARGV[2] == '1' then
	redis.call('INCR', KEYS[2])
end
return {tonumber(redis.call('GET', KEYS[2]) or 0)}
