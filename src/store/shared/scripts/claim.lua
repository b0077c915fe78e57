-- Takes the lease KEYS[1] for ARGV[1] if it is free, and reads KEYS[3..] in the same step. An outcome in KEYS[2] that one of
-- ARGV[3..] left is handed out instead. A claim that is repeated because its answer was lost finds the lease its own.
local values = {}
if #KEYS > 2 then
  values = redis.call('MGET', unpack(KEYS, 3))
end
local holder = redis.call('GET', KEYS[1])
if holder and #holder ~= #ARGV[1] then
  -- Nobody's: it would be waited for in vain.
  holder = false
end
local outcome = redis.call('GET', KEYS[2])
if outcome then
  local leader = string.sub(outcome, 1, 16)
  for i = 3, #ARGV do
    if ARGV[i] == leader then
      return {0, holder, outcome, values}
    end
  end
end
if holder and holder ~= ARGV[1] then
  return {0, holder, false, values}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, ARGV[1], false, values}
