-- Counts what a process asks for.
--
-- KEYS[1]  the process's: how many asks of it were counted
-- KEYS[2]  how often a process found that the server had forgotten something
-- KEYS[3]  there while others may have something to write back
-- ARGV[1]  the process's name; ARGV[2] and ARGV[3] what it knows of those (-1: nothing)
-- For each question a key, and six arguments: window and slot in microseconds
-- (window 0: for ever), the most, an amount or "s" for subjects, the slot of an
-- amount that is given back, and the subjects, 16 bytes each.
--
-- An amount's key is a hash: by slot and process what was counted, t their sum, o a
-- slot before which there is none, m the last. That of subjects is a sorted set, by
-- the slot that they were counted in last.
--
-- It gives both numbers and the time, and of each question the amount, the
-- slot, how many subjects count, how much is used, and the first slot of which
-- something counts (-1: none). Where either number is not what the process knows it
-- counts nothing, and gives -1 for the first; while others are waited for, -2.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local seen = tonumber(redis.call('GET', KEYS[1]) or 0)
local found = tonumber(redis.call('GET', KEYS[2]) or 0)
local known = tonumber(ARGV[3])
if seen < tonumber(ARGV[2]) or known >= 0 and known ~= found then
	return {-1, found, now}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
	return {-2, found, now}
end
redis.call('SET', KEYS[1], seen + 1, 'PX', 86400000)
local out = {seen + 1, found, now}

local function score(key, at)
	return tonumber(redis.call('ZRANGE', key, at, at, 'WITHSCORES')[2])
end

local function subjects(key, slot, first, most, ids)
	redis.call('ZREMRANGEBYSCORE', key, '-inf', first - 1)
	slot = math.max(slot, score(key, -1) or 0)
	local used, counts = redis.call('ZCARD', key), 0
	for i = 1, #ids, 16 do
		local id = string.sub(ids, i, i + 15)
		local at = redis.call('ZSCORE', key, id)
		if not at then
			if used >= most then break end
			used = used + 1
		end
		if not at or tonumber(at) < slot then
			redis.call('ZADD', key, slot, id)
		end
		counts = counts + 1
	end
	return slot, 0, counts, used, score(key, 0) or -1
end

-- sum forgets what counts no more.
local function sum(key, first)
	local total, oldest = 0, -1
	local all = redis.call('HGETALL', key)
	for i = 1, #all, 2 do
		local slot = tonumber(string.match(all[i], '^(%d+):'))
		if slot and slot < first then
			redis.call('HDEL', key, all[i])
		elseif slot then
			total = total + tonumber(all[i + 1])
			if oldest < 0 or slot < oldest then oldest = slot end
		end
	end
	return total, oldest
end

local function amounts(key, slot, first, most, wanted, back)
	local known = redis.call('HMGET', key, 't', 'o', 'm')
	local total, oldest = tonumber(known[1] or 0), tonumber(known[2] or -1)
	slot = math.max(slot, tonumber(known[3] or 0))
	if known[1] and oldest < first then
		total, oldest = sum(key, first)
	end
	local given, field = 0, string.format('%.0f:%s', slot, ARGV[1])
	if wanted < 0 then
		field = back .. ':' .. ARGV[1]
		given = -math.min(-wanted, tonumber(redis.call('HGET', key, field) or 0))
	elseif wanted > 0 then
		given = math.max(0, math.min(wanted, most - total))
	end
	if given ~= 0 then
		total = total + given
		if redis.call('HINCRBY', key, field, given) == 0 then
			redis.call('HDEL', key, field)
		end
	end
	if total == 0 then
		oldest = -1
	elseif oldest < 0 then
		oldest = slot
	end
	if given ~= 0 or known[1] then
		redis.call('HSET', key, 't', total, 'o', oldest, 'm', slot)
	end
	return slot, math.max(given, 0), 0, total, oldest
end

for i = 4, #KEYS do
	local key, at = KEYS[i], 4 + (i - 4) * 6
	local window, length, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
	local slot, first = 0, 0
	if window > 0 then
		local before = now - window
		slot, first = (now - now % length) / length, (before - before % length) / length
	end
	local amount, counts, used, oldest
	if ARGV[at + 3] == 's' then
		slot, amount, counts, used, oldest = subjects(key, slot, first, most, ARGV[at + 5])
	else
		slot, amount, counts, used, oldest = amounts(key, slot, first, most, tonumber(ARGV[at + 3]), ARGV[at + 4])
	end
	if window > 0 then
		redis.call('PEXPIRE', key, math.ceil(((slot + 1) * length + window - now) / 1000))
	end
	for _, n in ipairs({amount, slot, counts, used, oldest}) do
		out[#out + 1] = n
	end
end
return out
