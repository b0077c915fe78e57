-- Deletes KEYS[2..] and raises the epoch KEYS[1] to ARGV[1] for ARGV[2] milliseconds. Deletes first: a server whose memory is full
-- refuses a script that begins by storing, and lets one that has begun otherwise go on.
local existed = 0
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do
  existed = existed + redis.call('DEL', KEYS[i])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return existed
