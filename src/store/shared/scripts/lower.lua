-- Whether one number of eight bytes is lower than another one. Stands before each script that compares epochs or renewals.
local function is_lower(one, other)
  -- Byte by byte: a script's numbers are not exact, and how it compares texts depends on the server's locale.
  for i = 1, 8 do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then
      return a < b
    end
  end
  return false
end

