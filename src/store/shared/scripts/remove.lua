-- Deletes KEYS[2..], and raises the epoch KEYS[1] to ARGV[1] for ARGV[2] milliseconds if any of KEYS was there, or if ARGV[3] is 1. Where
-- there was nothing nothing is left behind. Where the epoch is higher than ARGV[1] nothing is done, and it is handed out. Deletes before
-- it stores: a server whose memory is full refuses a script that begins by storing, and lets one that has begun otherwise go on.
local epoch = redis.pcall('GET', KEYS[1])
if type(epoch) == 'string' and #epoch == 8 then
  if epoch == ARGV[1] then
    -- It is done, and the answer was lost: what stands here now has come since.
    return 1
  end
  if not is_lower(epoch, ARGV[1]) then
    return epoch
  end
end
local existed = 0
for i = 1, #KEYS do
  existed = existed + redis.call('DEL', KEYS[i])
end
if existed > 0 or ARGV[3] == '1' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return existed
