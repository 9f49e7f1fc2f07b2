// Three calls with the types that were generated of the API's document: a name that is not in it does not compile.
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const [, , baseUrl, token] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const who = await client.GET("/api/v1/whoami");
const limits = await client.GET("/api/v1/limits");
const launched = await client.POST("/api/v1/campaigns", {
  params: { header: { "Idempotency-Key": "from-typescript" } },
  body: {
    zone: "5301",
    kind: "news",
    title: "Buurtfeest",
    texts: [{ language: "nl", sms: "Buurtfeest zaterdag om 14 uur." }],
    targets: { networks: ["PLP-5301-1"] },
    channels: ["sms"],
    terms_confirmed: true,
  },
});
const said = launched.data && "campaign" in launched.data ? launched.data.campaign : "";
console.log(JSON.stringify({ account: who.data?.account, page: limits.data?.account.page, campaign: said }));
