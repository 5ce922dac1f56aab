-- POST /upload with 1 MiB.
wrk.method = 'POST'
wrk.path = '/upload'
wrk.headers['Content-Type'] = 'application/octet-stream'
wrk.body = string.rep('x', 1024 * 1024)
