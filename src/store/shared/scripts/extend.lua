-- Extends the lease KEYS[1] by ARGV[2] milliseconds if it is still ARGV[1]'s.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
