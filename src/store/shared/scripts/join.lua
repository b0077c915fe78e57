-- Adds ARGV[1] to the set KEYS[1] until ARGV[3] (seconds since the Unix epoch); the set lives for at least ARGV[2] milliseconds. Members
-- whose time was over at ARGV[4] leave.
local added = redis.pcall('ZADD', KEYS[1], ARGV[3], ARGV[1])
if type(added) == 'table' then
  if string.find(added.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', KEYS[1])
  end
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
