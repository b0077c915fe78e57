-- Writes ARGV[1] (owner, renewals, generation) into the lease KEYS[1] for ARGV[2] milliseconds if it is still that owner's; if nothing
-- stands there, only where ARGV[3] is 1. One that was renewed more often by then stays: this call was overtaken.
local holder = redis.pcall('GET', KEYS[1])
if type(holder) ~= 'string' or #holder ~= #ARGV[1] then
  if ARGV[3] ~= '1' then
    return 0
  end
elseif string.sub(holder, 1, 16) ~= string.sub(ARGV[1], 1, 16) then
  return 0
else
  -- Byte by byte: a script's numbers are not exact, and how it compares texts depends on the server's locale.
  for i = 17, 24 do
    local stands, brought = string.byte(holder, i), string.byte(ARGV[1], i)
    if brought < stands then
      return 1
    elseif brought > stands then
      break
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
