-- Deletes KEYS[2..], and raises the epoch KEYS[1] to ARGV[1] for ARGV[2] milliseconds if any of KEYS was there, or if ARGV[3] is 1. Where
-- there was nothing nothing is left behind. Deletes first: a server whose memory is full refuses a script that begins by storing, and
-- lets one that has begun otherwise go on.
local existed = 0
for i = 1, #KEYS do
  existed = existed + redis.call('DEL', KEYS[i])
end
if existed > 0 or ARGV[3] == '1' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return existed
