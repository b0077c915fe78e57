-- Stores ARGV[2] in KEYS[1] for ARGV[3] milliseconds if what is there has the generation ARGV[4], or nothing with a generation is
-- there. ARGV[1] names what follows, in this order: e, the epoch (a key; what it holds, zeros if it is not there); i, the index (a key;
-- member, score, now, most); l, the lease (a key; owner); o, its outcome (a key; value, milliseconds).
-- Returns 1 if it is stored, 2 if the epoch is a higher one, 3 and does nothing if it is lower or missing, and else what is there.
local flags, key, arg = ARGV[1], 1, 4
local function next_key() key = key + 1; return KEYS[key] end
local function next_arg() arg = arg + 1; return ARGV[arg] end
local function has(flag) return string.find(flags, flag, 1, true) end
local function is_of_another_type(failure) return string.find(failure.err, 'WRONGTYPE', 1, true) end

local signed_out = false
if has('e') then
  local epoch, named = redis.call('GET', next_key()), next_arg()
  if not epoch or (#epoch == 8 and is_lower(epoch, named)) then
    if named ~= string.rep('\0', 8) then
      -- It was there: the server has lost it.
      return 3
    end
  else
    signed_out = epoch ~= named
  end
end

local old = redis.pcall('GET', KEYS[1])
if type(old) == 'table' then
  -- Nothing of another type is a value: it is written over.
  old = not is_of_another_type(old) and redis.call('GET', KEYS[1])
end
local generation = old and string.sub(old, 1, 16)
local known = generation and #generation == 16 and not string.find(generation, '[^0-9a-f]')
-- The same value is there if this is tried again because the answer was lost.
local stale = known and generation ~= ARGV[4] and old ~= ARGV[2]
local store = not signed_out and not stale
if store then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end

if has('i') then
  local index, member, score, now, most = next_key(), next_arg(), next_arg(), next_arg(), tonumber(next_arg())
  if store then
    local added = redis.pcall('ZADD', index, score, member)
    if type(added) == 'table' then
      if is_of_another_type(added) then
        redis.call('DEL', index)
      end
      redis.call('ZADD', index, score, member)
    end
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
    redis.call('ZREMRANGEBYRANK', index, 0, -most - 1)
    if redis.call('PTTL', index) < tonumber(ARGV[3]) then
      redis.call('PEXPIRE', index, ARGV[3])
    end
  end
end

if has('l') then
  local lease, owner = next_key(), next_arg()
  local holder = redis.pcall('GET', lease)
  if type(holder) ~= 'string' or #holder ~= 32 or string.sub(holder, 1, 16) == owner then
    redis.call('DEL', lease)
    if has('o') and not signed_out then
      redis.call('SET', next_key(), next_arg(), 'PX', next_arg())
    end
  end
end

if signed_out then
  return 2
end
return stale and old or 1
