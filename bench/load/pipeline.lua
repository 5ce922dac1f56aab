-- Sends `depth` requests in one write; wrk counts each answer.
local batch

function init(args)
  local depth = tonumber(args[1] or 16)
  batch = string.rep(wrk.format('GET', '/'), depth)
end

function request()
  return batch
end
