/** What Redis does in one step. */

/** Members of a group that one answer names. */
const ROUTE_MEMBERS = 16;

/**
 * Makes ARGV[2] a member of the group ARGV[1] of the subject whose groups are the set KEYS[1]. Gives how many other groups there are.
 */
export const JOIN = `
redis.call('SADD', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
return redis.call('SCARD', KEYS[1]) - 1`;

/**
 * Each of the messages ARGV[3] ... to every subscriber of the channel ARGV[1], and to one member of each group named in the set KEYS[1], in turn from the number
 * ARGV[2]. Members that have gone are taken off. Gives the numbers of those that reached nobody, from 0; and for one message that one group alone hears of, members of
 * that group that live.
 */
export const PUBLISH = `
local plain = true
local groups
local lists = {}
local unanswered = {}
for i = 3, #ARGV do
  local reached = 0
  if plain then
    reached = redis.call('PUBLISH', ARGV[1], ARGV[i])
    plain = reached > 0
  end
  groups = groups or redis.call('SMEMBERS', KEYS[1])
  for g, group in ipairs(groups) do
    local key = KEYS[1] .. ':' .. group
    local members = lists[g] or redis.call('SMEMBERS', key)
    lists[g] = members
    while #members > 0 do
      local at = (ARGV[2] + i) % #members + 1
      if redis.call('PUBLISH', members[at], ARGV[i]) > 0 then
        reached = reached + 1
        break
      end
      redis.call('SREM', key, table.remove(members, at))
    end
    if #members == 0 then redis.call('SREM', KEYS[1], group) end
  end
  if reached == 0 then unanswered[#unanswered + 1] = i - 3 end
end
local route = {}
if #ARGV == 3 and not plain and #groups == 1 then
  for i = 0, math.min(#lists[1], ${ROUTE_MEMBERS}) - 1 do
    local member = lists[1][(ARGV[2] + i) % #lists[1] + 1]
    if redis.call('PUBSUB', 'NUMSUB', member)[2] > 0 then route[#route + 1] = member
    else redis.call('SREM', KEYS[1] .. ':' .. groups[1], member) end
  end
end
return {unanswered, route}`;

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
