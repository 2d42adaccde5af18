-- Makes sure that at least what a process knows of one counter counts. It may be
-- run again.
--
-- KEYS[1]  the counter's; as ask.lua has it
-- ARGV[1]  the process's name; then window and slot in microseconds, "s" for
-- subjects, and pairs: a slot, and its amount or subjects
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local key, window, length = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = -1
for i = 5, #ARGV, 2 do
	local slot, what = tonumber(ARGV[i]), ARGV[i + 1]
	if window == 0 or (slot + 1) * length + window > now then
		last = math.max(last, slot)
		if ARGV[4] == 's' then
			for j = 1, #what, 16 do
				local id = string.sub(what, j, j + 15)
				local at = redis.call('ZSCORE', key, id)
				if not at or tonumber(at) < slot then
					redis.call('ZADD', key, slot, id)
				end
			end
		else
			local field = ARGV[i] .. ':' .. ARGV[1]
			if tonumber(redis.call('HGET', key, field) or 0) < tonumber(what) then
				redis.call('HSET', key, field, what)
			end
		end
	end
end
if last < 0 then
	return {0}
end
if ARGV[4] ~= 's' then
	local m = tonumber(redis.call('HGET', key, 'm') or 0)
	redis.call('HSET', key, 't', 0, 'o', -1, 'm', math.max(m, last)) -- the next to ask sums up
end
if window > 0 then
	local left = math.ceil(((last + 1) * length + window - now) / 1000)
	if redis.call('PTTL', key) < left then
		redis.call('PEXPIRE', key, left)
	end
end
return {1}
