-- Takes the lease KEYS[1] if it is free, writes ARGV[1] (owner, renewals, generation) there for ARGV[2] milliseconds, and reads KEYS[3..] in
-- the same step. It is free too if exactly ARGV[3] stands there, which the caller has seen to be renewed no more. An outcome in KEYS[2] that
-- one of ARGV[4..] left is handed out instead. A claim that is repeated because its answer was lost finds the lease its own, and leaves
-- it as it is.
local function text(key)
  local found = redis.pcall('GET', key)
  if type(found) == 'table' then
    -- Of another type: nobody's. It is written over.
    return string.find(found.err, 'WRONGTYPE', 1, true) == nil and redis.call('GET', key)
  end
  return found
end

local values = {}
if #KEYS > 2 then
  values = redis.call('MGET', unpack(KEYS, 3))
end
local holder = text(KEYS[1])
if holder and #holder ~= #ARGV[1] then
  -- Nobody's: it would be waited for in vain.
  holder = false
end
local outcome = text(KEYS[2])
if outcome then
  local leader = string.sub(outcome, 1, 16)
  for i = 4, #ARGV do
    if ARGV[i] == leader then
      return {0, holder, outcome, values}
    end
  end
end
if holder and string.sub(holder, 1, 16) == string.sub(ARGV[1], 1, 16) then
  return {1, holder, false, values}
end
if holder and holder ~= ARGV[3] then
  return {0, holder, false, values}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, ARGV[1], false, values}
