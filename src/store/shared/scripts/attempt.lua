-- Notes an attempt ARGV[1] in the set KEYS[1] at ARGV[2] (milliseconds since the Unix epoch), unless there were ARGV[4] already since ARGV[3].
-- The set lives for ARGV[5] milliseconds after the last one. Answers with the moment of the oldest attempt if there was no room.
if type(redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])) == 'table' then
  -- It is of another type.
  redis.call('DEL', KEYS[1])
end
local known = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'WITHSCORES')
if #known / 2 >= tonumber(ARGV[4]) then
  return known[2]
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return false
