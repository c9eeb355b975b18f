-- Finds the server of the pod that a stream's path names. Rules:
-- PS1: a pod's name ends in its address with dashes (edge-x2x4z-10-244-3-17); the chart gives it that name.
-- PS2: the server is one that DNS has named; an address outside the headless Service is never dialled.
-- PS3: no match, or a server that is down: nothing is set, and the balance by Call SID chooses.

local function address_of(pod)
  local a, b, c, d = pod:match("^edge%-%w+%-(%d+)%-(%d+)%-(%d+)%-(%d+)$")
  return a and table.concat({ a, b, c, d }, ".")
end

core.register_action("pod_slot", { "http-req" }, function(txn)
  local pod = txn:get_var("txn.pod")
  local address = pod and address_of(pod)
  local backend = core.backends["pods"]
  if address == nil or backend == nil then return end
  for name, server in pairs(backend.servers) do
    -- "10.244.3.17:8080"; a server without an address yet has none
    local own = server:get_addr()
    if own and own:gsub(":%d+$", "") == address then
      txn:set_var("txn.slot", name)
      return
    end
  end
end)
