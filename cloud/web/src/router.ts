import { createRouter, createWebHistory } from 'vue-router'
import { resume } from './app'
import AlarmView from './views/AlarmView.vue'
import AlarmsView from './views/AlarmsView.vue'
import LoginView from './views/LoginView.vue'
import NotFoundView from './views/NotFoundView.vue'
import NotificationsView from './views/NotificationsView.vue'
import OverviewView from './views/OverviewView.vue'
import ShedView from './views/ShedView.vue'

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/login', name: 'login', component: LoginView, meta: { open: true } },
    { path: '/', name: 'overview', component: OverviewView },
    { path: '/alarms', name: 'alarms', component: AlarmsView },
    { path: '/alarms/:id', name: 'alarm', component: AlarmView, props: true },
    { path: '/notifications', name: 'notifications', component: NotificationsView },
    { path: '/sheds/:id', name: 'shed', component: ShedView, props: true },
    {
      path: '/sheds/:id/outlets/:outlet(\\d+)',
      name: 'outlet',
      component: () => import('./views/OutletView.vue'),
      props: (r) => ({ id: String(r.params.id), outlet: Number(r.params.outlet) }),
    },
    { path: '/:rest(.*)*', name: 'nothing', component: NotFoundView },
  ],
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
})

router.beforeEach(async (to) => {
  if (to.meta.open) return true
  try {
    if (await resume()) return true
  } catch {
    return { name: 'login', query: { next: to.fullPath, trouble: '1' } }
  }
  return { name: 'login', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
})
