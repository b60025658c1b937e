// Judges requests by policies: one request per line of stdin, in JSON, and one answer per line.
//
//     node simulate.cjs FOLDER
//
// FOLDER is where npm installed the simulator. A request is {principal, account, action, resource,
// context, policies}; the answer is {"result": "Allowed"}, or another result, or {"error": ...}. A
// key of KMS has the policy that KMS gives to it, which leaves permissions to the policies of IAM.
'use strict'

const path = require('node:path')
const readline = require('node:readline')
const { createRequire } = require('node:module')

const installed = createRequire(path.resolve(process.argv[2], 'package.json'))
const { runSimulation } = installed('@cloud-copilot/iam-simulate')

function keyPolicy(account) {
  const principal = { AWS: `arn:aws:iam::${account}:root` }
  const statement = { Effect: 'Allow', Principal: principal, Action: 'kms:*', Resource: '*' }
  return { Version: '2012-10-17', Statement: [statement] }
}

async function judge({ principal, account, action, resource, context, policies }) {
  const answer = await runSimulation({
    request: {
      principal,
      action,
      resource: { resource, accountId: account },
      contextVariables: context
    },
    resourcePolicy: action.startsWith('kms:') ? keyPolicy(account) : undefined,
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
