-- Adds ARGV[1] to the set KEYS[1] for ARGV[2] milliseconds; the set lives for at least as long. Members whose time is over leave.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + tonumber(ARGV[2])
local added = redis.pcall('ZADD', KEYS[1], ends, ARGV[1])
if type(added) == 'table' then
  if string.find(added.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', KEYS[1])
  end
  redis.call('ZADD', KEYS[1], ends, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
