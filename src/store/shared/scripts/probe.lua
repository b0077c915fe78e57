-- Stores something for a second, as a script: whether writes work is whether this does.
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return 1
