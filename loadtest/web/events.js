// The bar above Locust's page: events beside requests. It is outside the part that Locust's page draws.
const bar = document.getElementById("tidemark");
document.body.prepend(bar);

const show = (name, text) => { bar.querySelector(`[data-is="${name}"]`).textContent = text; };
const whole = (number) => Math.round(number).toLocaleString("en");
const rate = (number) => (number < 100 ? number.toFixed(1) : whole(number));

async function look() {
  let now;
  try {
    now = await (await fetch("./tidemark/events")).json();
  } catch {
    show("error", "Locust does not answer any more.");
    return;
  }
  const { counts, rates } = now;
  show("asked", `${now.offered_load.toLocaleString("en")} events/s, ${now.profile}`);
  show("offered_per_s", rate(rates.offered));
  show("accepted_per_s", rate(rates.accepted));
  show("requests_per_s", rate(rates.requests));
  show("events_per_request", counts.requests ? rate(counts.settled / counts.requests) : "-");
  show("so_far", `${now.running ? "So far" : "The test has ended"}: ${whole(counts.offered)} events offered in `
    + `${whole(counts.requests)} requests; accepted ${whole(counts.accepted)}, rejected ${whole(counts.rejected)}, `
    + `in doubt ${whole(counts.in_doubt)}, unsent ${whole(counts.unsent)}.`);
  const unanswered = counts.in_doubt > 0 && counts.accepted + counts.rejected === 0;
  show("error", now.error || (unanswered ? `No request was answered. Is an API at ${now.host}? ./tidemark up starts one at `
    + "http://localhost:8000." : ""));
}
look();
setInterval(look, 1000);

// Locust's New opens a form with users and a ramp-up; ours begins with the load.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && button.textContent.trim() === "New") {
    event.stopPropagation();
    location.assign("./?new");
  }
}, true);
