-- Writes ARGV[1] (owner, renewals, generation) into the lease KEYS[1] for ARGV[2] milliseconds if it is still that owner's; if nothing
-- stands there, only where ARGV[3] is 1. One that was renewed more often by then stays: this call was overtaken.
local holder = redis.pcall('GET', KEYS[1])
if type(holder) ~= 'string' or #holder ~= #ARGV[1] then
  if ARGV[3] ~= '1' then
    return 0
  end
elseif string.sub(holder, 1, 16) ~= string.sub(ARGV[1], 1, 16) then
  return 0
elseif is_lower(string.sub(ARGV[1], 17, 24), string.sub(holder, 17, 24)) then
  return 1
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
