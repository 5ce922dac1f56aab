/** What Redis does in one step. */

/** To every subscriber of the channel ARGV[2], and to one member of each group named in the set KEYS[1]. Members that have gone are taken off. Gives how many it reached. */
export const PUBLISH = `
local reached = redis.call('PUBLISH', ARGV[2], ARGV[1])
for _, group in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local members = KEYS[1] .. ':' .. group
  while true do
    local member = redis.call('SRANDMEMBER', members)
    if not member then
      redis.call('SREM', KEYS[1], group)
      break
    end
    if redis.call('PUBLISH', member, ARGV[1]) > 0 then
      reached = reached + 1
      break
    end
    redis.call('SREM', members, member)
  end
end
return reached`;

/** Stores work in the stream KEYS[1], unless its key was seen: KEYS[2], for ARGV[2] ms. */
export const ENQUEUE = `
if redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[2]) then
  redis.call('XADD', KEYS[1], '*', 'frame', ARGV[1], 'attempt', 1)
  return 1
end
return 0`;

/** Ends the delivery of entry ARGV[2] for the group ARGV[1]; on ARGV[3] = 'retry' it is appended again as attempt ARGV[4], on 'bury' to KEYS[2] with the reason ARGV[4]. */
export const END = `
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
if entry and ARGV[3] == 'retry' then redis.call('XADD', KEYS[1], '*', 'frame', entry[2][2], 'attempt', ARGV[4]) end
if entry and ARGV[3] == 'bury' then redis.call('XADD', KEYS[2], '*', 'frame', entry[2][2], 'reason', ARGV[4]) end
return 1`;

/** Takes up to ARGV[1] entries off the stream KEYS[1]. */
export const TAKE = `
local entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])
for _, entry in ipairs(entries) do redis.call('XDEL', KEYS[1], entry[1]) end
return entries`;

/** Removes the consumer ARGV[2] of the group ARGV[1], if nothing is pending for it. */
export const LEAVE = `
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields.name == ARGV[2] and fields.pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
end
return 0`;
