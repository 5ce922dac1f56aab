-- POST /echo with a JSON body of exactly 1024 bytes.
wrk.method = 'POST'
wrk.path = '/echo'
wrk.headers['Content-Type'] = 'application/json'
wrk.body = '{"data":"' .. string.rep('x', 1024 - 11) .. '"}'
