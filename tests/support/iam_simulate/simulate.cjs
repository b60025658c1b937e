// Judges requests by policies: one request per line of stdin, in JSON, and one answer per line.
//
//     node simulate.cjs FOLDER
//
// FOLDER is where npm installed the simulator. A request is {principal, account, action, resource,
// context, policies}; the answer is {"result": "Allowed"}, or another result, or {"error": ...}.
'use strict'

const path = require('node:path')
const readline = require('node:readline')
const { createRequire } = require('node:module')

const installed = createRequire(path.resolve(process.argv[2], 'package.json'))
const { runSimulation } = installed('@cloud-copilot/iam-simulate')

async function judge({ principal, account, action, resource, context, policies }) {
  const answer = await runSimulation({
    request: {
      principal,
      action,
      resource: { resource, accountId: account },
      contextVariables: context
    },
    identityPolicies: policies.map((policy, number) => ({ name: `${number}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }, {})
  if (answer.resultType === 'error') return { error: answer.errors }
  return { result: answer.overallResult }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await judge(JSON.parse(line))) + '\n')
  }
}

main()
